import { mount } from "../ui/mount";
import "../styles/client.css";
import { ClientPage } from "./ClientPage";

mount(<ClientPage />);

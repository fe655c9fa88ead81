import { mount } from "../ui/mount";
import "../styles/admin.css";
import { AdminPage } from "./AdminPage";

mount(<AdminPage />);

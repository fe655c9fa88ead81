import { mount } from "../ui/mount";
import "../styles/landing.css";
import { Landing } from "./Landing";

mount(<Landing />);
